"""Settings: :mod:`.model` is their tree, :mod:`.load` reads them, the YAML files are presets."""

if __name__ != "memoryscope_rag.configs":
    raise ImportError("import memoryscope_rag.configs, not configs")
