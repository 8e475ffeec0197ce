from crm_assets_tests.history.conftest import real_crm, real_export

__all__ = ["real_crm", "real_export"]
