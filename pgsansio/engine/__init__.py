"""The protocol as machines: encryption, start-up and session, each a table and the small code around it."""
