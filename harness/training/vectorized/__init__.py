"""Stacks: many runs trained as one program; each is equal, to the bit, to the same run in any other stack."""
