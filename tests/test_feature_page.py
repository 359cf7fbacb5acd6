"""docs/features.md says what is so."""

import feature_page


def test_the_page_is_up_to_date():
    assert feature_page.PAGE.read_text(encoding="utf-8") == feature_page.page(), "run `make docs`"


def test_every_announced_feature_has_tests():
    known = {name: prefix for _, name, prefix in feature_page.FEATURES if name}
    ids = feature_page.ids_in_tests()
    for names in feature_page.announcements():
        for name in names:
            if name != "payload_transparency":  # the older form of payload passthru, in its tests
                assert ids[known[name]], name


def test_every_row_has_tests():
    ids = feature_page.ids_in_tests()
    assert [title for title, _, prefix in feature_page.FEATURES if not ids.get(prefix)] == []
