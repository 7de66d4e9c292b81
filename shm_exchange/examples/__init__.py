"""Programs that look at a running exchange through `shm_exchange.view`: something to start from."""
