"""Declaration: clients that run against `make run`, to start from."""
