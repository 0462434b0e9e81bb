"""Files of rows to predict: `tables` reads them, a worker answers them part by part (`running`, `parts`).

`files` is where uploads, parts and results lie; both the web process and the workers see that folder.
"""
