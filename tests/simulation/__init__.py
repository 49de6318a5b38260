"""Many clients, a pool, a server and a network, all in one thread, in an order that a seed decides."""
