"""A Runpod Serverless endpoint on this machine: the job API, the worker API, limits, faults and a scripted worker."""
