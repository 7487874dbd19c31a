"""`python -m busnode` is `bus operator node`."""

from busnode.cli import bus_operator_node

if __name__ == "__main__":
    bus_operator_node()
