"""Write what scripted workers say, in the formats of real ones."""
