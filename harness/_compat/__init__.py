"""Private and undocumented APIs of dependencies, a module for each dependency, and used nowhere else.

Each one tells the version it was last seen on and what stops working without it. `tests/_compat/` has a test for each:
after an upgrade, run it first.
"""
