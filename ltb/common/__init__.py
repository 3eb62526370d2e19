"""What every room stands on: steps, what annotations allow, files, texts and errors. Imports the standard library only."""
