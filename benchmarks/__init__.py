"""What the documents claim about speed, measured: `make bench`."""
