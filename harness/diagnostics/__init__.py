"""What is measured of a network while it trains: the measurements' face, their budget, and what they are handed."""
