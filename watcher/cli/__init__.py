"""The command line: `main.py` has the commands about logs, the others one field each."""
