"""Stacks: runs that train as one program, equal to the bit to each alone."""
