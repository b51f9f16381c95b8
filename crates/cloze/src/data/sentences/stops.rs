//! Stops of scripts without case, each of which means nothing else.

/// True if `c` ends a sentence in Devanagari and its sisters (`।`, `॥`), Arabic and Urdu (`؟`, `۔`), Armenian (`։`),
/// Syriac, Burmese (`။`), Ethiopic (`።`, `፧`, `፨`), Khmer (`។`, `៕`), Mongolian, or is a doubled mark (`‼`, `⁇`).
pub(super) fn is_plain_stop(c: char) -> bool {
    matches!(
        c,
        '\u{589}' | '\u{61F}' | '\u{6D4}' | '\u{700}'..='\u{702}' | '\u{964}' | '\u{965}' | '\u{104B}' | '\u{1362}'
            | '\u{1367}' | '\u{1368}' | '\u{17D4}' | '\u{17D5}' | '\u{1803}' | '\u{1809}' | '\u{203C}' | '\u{203D}'
            | '\u{2047}'..='\u{2049}'
    )
}

/// True if a sentence that ends in `marks`, such a stop among them, is over, given what comes `after`. No space need
/// follow, but after the Urdu `۔`, which also stands in abbreviations.
pub(super) fn plain_stop_ends_sentence(marks: &str, after: &str) -> bool {
    let Some(first) = after.trim_start().chars().next() else { return false };
    let is_tight = !after.starts_with(char::is_whitespace);
    let goes_on = matches!(first, ',' | ';' | ':' | '،' | '؛');
    let is_abbreviation = is_tight && marks == "۔";
    !goes_on && !is_abbreviation
}

#[cfg(test)]
mod tests {
    use super::super::split;

    #[test]
    fn stops_of_other_scripts() {
        for (joint, cases) in [
            (
                " ",
                &[
                    "वह घर गया।|क्या तुम आओगे?|हाँ, मैं आऊँगा।|ठीक है",
                    "“तुम कौन हो?”|“मैं राम हूँ।”|वह चला गया।",
                    "राम वन गए॥|सीता साथ गईं॥|लक्ष्मण भी।",
                    "আমি বাড়ি যাই।|তুমি কোথায়?|সে এখানে।",
                    "یہ کتاب ہے۔|کیا تم آؤ گے؟|ہاں۔|وہ ایم۔اے ہے۔",
                    "ذهب إلى البيت.|هل جاء؟|نعم!|لا أدري",
                    "ماذا؟!|لا شيء…|ثم ذهب.",
                    "Նա գնաց։|Նա եկավ։|Վերջ",
                    "ሰላም ነው።|ደህና ነህ፧|አዎ።",
                    "သူ သွားသည်။|သူ လာသည်။|ပြီးပြီ။",
                    "ខ្ញុំទៅផ្ទះ។|អ្នកទៅណា?|ចប់៕",
                ][..],
            ),
            ("", &["वह गया।|वह आया।|ठीक", "ሰላም።|ደህና።", "သွားသည်။|လာသည်။", "ماذا؟|لا."]),
        ] {
            for case in cases {
                let expected: Vec<&str> = case.split('|').collect();
                assert_eq!(split(&expected.join(joint)), expected);
            }
        }
        assert_eq!(split("वह गया।, फिर आया"), ["वह गया।, फिर आया"]);
        assert_eq!(split("। । ।"), ["। । ।"]);
    }
}
