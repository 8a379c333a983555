"""The routes, one file a theme. Ids stand in bodies only: addresses end up in logs of proxies."""
