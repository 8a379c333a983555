"""Pictures of what a memory holds: plain data in, SVG, PNG or HTML out. Needs extra ``plots``."""
