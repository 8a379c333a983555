"""Beacon memories on disk: one folder a memory, and a bank of many of them.

``beacon.json`` names everything; ``blocks-….safetensors`` hold some blocks each, and
``open-….safetensors`` what may still change. No pickle is read or written.
"""
