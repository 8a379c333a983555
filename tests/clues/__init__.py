"""Clues: workers of retrieval that ask the beacon memory, and the profiles made of them."""
