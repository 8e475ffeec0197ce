pytest_plugins = ["crm_assets_tests.integration.s3_server"]
