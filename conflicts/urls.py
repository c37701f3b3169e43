"""The addresses of conflicts below /api/v1/sync/."""

from conflicts.api import BulkResolutionViewSet, ConflictViewSet
from conflicts.rejection_endpoints import RejectedValueViewSet
from sync.api.request_rules import ApiRouter

router = ApiRouter()
router.register("conflicts/bulk-resolutions", BulkResolutionViewSet, "sync-bulk-resolutions")
router.register("conflicts", ConflictViewSet, "sync-conflicts")
router.register("rejected-values", RejectedValueViewSet, "sync-rejected-values")
urlpatterns = router.urls
