"""Emulate a Runpod Serverless endpoint locally: job API, worker API, limits, faults and a scripted worker."""
