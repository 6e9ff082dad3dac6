"""One check from end to end: seeds, worst rows, reasons."""
