"""What the vendor's client libraries are told where they run behind a gateway.

`{ca_file}` and `{proxy}` are filled in by who starts the worker.
"""

CLIENT_ENVIRONMENT = {
    "AWS_CA_BUNDLE": "{ca_file}",
    # Probes for the machine's own credentials go through the proxy too, where they are refused.
    "AWS_EC2_METADATA_DISABLED": "true",
    # The legacy host without a region is another one than the policy names.
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional",
}
