"""The kinds of steps: a part of a target becomes calls of the shell functions in the file of the same name."""
