from crm_assets_tests.history.conftest import real_crm as real_crm
from crm_assets_tests.history.conftest import real_export as real_export
