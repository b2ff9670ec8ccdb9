"""The gateway: the one way out of a worker, and the record of everything that was tried."""
