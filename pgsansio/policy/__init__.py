"""Decisions without bytes: plain objects, calls in, actions out; nothing here waits, reads a clock or sends."""
