from npd.models import Contact, Organization
from sync.models import SyncMetadata, SyncQueue, Intent, Backfill
from tests.backfill.conftest import Import
from tests.backfill.test_relations import related_column
def test_x(bulk: Import) -> None:
    related_column(bulk)
    acme = Organization.objects.create(name="Acme")
    bulk.run("organization")
    contacts = bulk.contacts(1, organization=acme)
    r=bulk.run()
    for i in (1,2):
        print("COUNT", r[0].counts, list(Contact.objects.values("monday_id","sync_status","sync_direction")))
        print(list(SyncQueue.objects.values("entity_type","status","reason","error_message","causes","next_retry")))
        print(list(Intent.objects.values("state","values")))
        print(list(SyncMetadata.objects.filter(entity_type="contact").values("base","note","held","altered","sync_status","last_error")))
        print("WORK", bulk.world.work())
    assert 0
