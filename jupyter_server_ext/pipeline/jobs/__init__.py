"""Jobs: files of requests that are answered from spare quota, through restarts, and by several gateways."""
