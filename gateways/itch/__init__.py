"""TotalView-ITCH 5.0: market data."""
