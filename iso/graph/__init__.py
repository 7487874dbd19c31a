"""The build as doit's tasks: stages, what they depend on, what of them is done, how it is told and reported."""
