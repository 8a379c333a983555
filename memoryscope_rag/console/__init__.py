"""The console: pages for people to look into memory, change it and forget, in a browser.

Plain files under ``static``: HTML, one style sheet, ES modules. There is nothing to build, and they
load nothing from elsewhere. They speak to the HTTP service that serves them under ``/console/``.
"""
