"""Beacon memories on disk: one folder a memory, and a bank of many of them.

``beacon.json`` names everything; ``blocks-….safetensors`` hold some blocks each, and
``open-….safetensors`` what may still change, ``gist-….json`` what was retold as what. No pickle is
read or written.
"""
