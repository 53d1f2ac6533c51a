"""Where the events of this package come from."""
