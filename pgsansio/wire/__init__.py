"""Bytes to frames and back: the field types of "Message Data Types" and the cutting of a stream into messages."""
