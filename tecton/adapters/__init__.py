"""The adapters: what implements the ports of `tecton.stores`."""
