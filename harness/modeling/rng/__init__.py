"""Random numbers as functions of run and step, which do not depend on the runs that train beside."""
