"""The clients that are compared: how each of them carries out the operations of the cases."""
