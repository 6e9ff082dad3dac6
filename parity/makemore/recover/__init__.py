"""The seed behind a published run that never set it: all states of torch's generator, tried."""
