"""The command line of both adapters, without its I/O: what was asked for, what to do about it, and as what text."""
