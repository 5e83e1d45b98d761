"""secrets/age keeps every promise of its kind: the same class that a third party subclasses."""

from moby_components.secrets.age.component import Age
from moby_py.testing import SecretsContract


class TestAge(SecretsContract):
    component_class = Age
    good_options = ({}, {"identity": "/root/key.txt"}, {"recipients": ["age1qqqq"]})
    bad_options = (
        ({"identity": 3}, "3 is not of type 'string'"),
        ({"recipients": ["ssh"]}, "does not match"),
    )
