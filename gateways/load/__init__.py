"""The load driver: an order flow over real connections, and the book that the feed then says."""
