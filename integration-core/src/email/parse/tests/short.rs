//! What nearly all headers look like is read the short way, and must say what the long way says.

use proptest::prelude::*;

use super::super::{address, addresses, date};

proptest! {
    #[test]
    fn an_address_alone_is_read_as_among_others(
        name in "[A-Za-z .'@<>,:=éß-]{0,12}",
        quotes in prop::sample::select(vec!["", "\""]),
        person in "[a-z.+@-]{0,6}",
        at in prop::sample::select(vec!["@", ""]),
    ) {
        for line in [format!("{quotes}{name}{quotes} <{person}{at}x.example>"), format!("{person}{at}x.example")] {
            if let Some(alone) = address::alone(&line) {
                // With a comma behind it, it may be one of several.
                prop_assert_eq!(vec![alone], addresses(&format!("{line},")), "{}", line);
            }
        }
    }

    #[test]
    fn a_date_in_the_usual_form_is_read_as_in_any(
        weekday in prop::sample::select(vec!["", "Mon, ", "mar, ", "xyz, "]),
        month in prop::sample::select(vec!["Jan", "may", "DEC", "Sep", "Foo"]),
        (day, year) in (0..40, 1_800..2_300),
        (hour, minute, second) in (0..27, 0..62, 0..62),
        zone in prop::sample::select(vec!["+0000", "-0730", "+1600", "+0260", "+1400 (X)", "GMT", "-0000"]),
    ) {
        let line = format!("{weekday}{day} {month} {year} {hour:02}:{minute:02}:{second:02} {zone}");
        // A second blank is not the usual form.
        prop_assert_eq!(date(&line), date(&line.replacen(' ', "  ", 1)), "{}", line);
    }
}
