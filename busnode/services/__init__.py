"""The programs of a running deployment: node work, ssh, and the API before both."""
