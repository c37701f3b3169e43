"""A scrape's samples, for tests."""

from django.conf import settings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families


class Figures:
    """One scrape: values by series name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the one series with this name and labels; None without one."""
        values = [s.value for s in self.samples if s.name == f"npd_sync_{name}" and s.labels == labels]
        assert len(values) <= 1, f"{name} {labels} twice"
        return values[0] if values else None

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """The nonzero values of the series with these labels, by another label."""
        return {
            s.labels[label]: s.value
            for s in self.samples
            if s.name == f"npd_sync_{name}" and s.value and labels.items() <= s.labels.items()
        }


def bearer(**headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.METRICS_TOKEN}", **headers}


def scrape(**headers: str) -> Figures:
    answer = Client().get("/metrics", headers=bearer(**headers))
    assert answer.status_code == 200, answer.content
    return Figures(answer.content.decode())
