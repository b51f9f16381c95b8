//! Paragraphs and where they are to be split; any text is split without loss and as by the plain rule.

use proptest::prelude::*;

use super::*;

/// Each case is a paragraph with `|` where it is to be split.
fn check(cases: &[&str]) {
    for case in cases {
        let expected: Vec<&str> = case.split('|').collect();
        let text = expected.join(" ");
        assert_eq!(split(&text), expected, "for {text:?}");
    }
}

#[test]
fn plain_sentences() {
    check(&[
        "It rained.|We stayed at home.|Nobody came.",
        "Did it rain?|It did!|So we stayed.",
        "One sentence without an end",
        "The first.|And the second without an end",
        "He was born in 1815.|In 1830 he went to sea.",
        "There were 12.|12 were lost.",
        "It cost 3.50 and weighed 1.5 pounds.|Cheap!",
        "See example.com for more.|Or write.",
        "Élan was lacking.|Émile knew.",
    ]);
    assert_eq!(split(""), Vec::<&str>::new());
    assert_eq!(split("  \t "), Vec::<&str>::new());
    assert_eq!(split("  Go.   Stay. \r\n"), ["Go.", "Stay."]);
}

#[test]
fn abbreviations() {
    check(&[
        "Mr. Knightley met Mrs. Weston and Dr. Perry.|They spoke.",
        "MR. DARCY bowed.|He left.",
        "Messrs. Cox were there, e.g. William, i.e. The younger.|Yes.",
        "They sold apples, pears, etc. to us.|We paid.",
        "They sold apples, pears, etc.|The rest was left.",
        "He lived in St. Ives.|It was cold.",
        "Smith & Co. Limited of London.|It failed.",
        "He worked for Smith & Co.|Then he retired.",
        "She came at 5 p.m.|It was late.",
        "She came at 5 p.m. on Monday.|Late again.",
        "The U.S. Army left the U.S.|The others stayed.",
        "In the year 44 B.C. Caesar died.|So they say.",
        "Jones v. Smith was decided.|Nobody cared.",
        "He took a Ph.D. in Leipzig.|She did not.",
        "It is in vol. 3, p. 12, and in Vol. II of the work.|See Fig. 4.|Also No. 7.",
        "He left on Sept. 12 and came back in Dec.|Nobody knew.",
        "Will you go?|No. 7 is my house.",
        "Will you go?|No.|I will not.",
        "Shakspere, &c. Others too.|End.",
    ]);
}

#[test]
fn initials() {
    check(&[
        "J. R. Smith and H. G. Wells met.|They argued.",
        "It was written by T. S. Eliot.|He was thirty.",
        "She is taller than I.|Emma is not.",
        "They chose plan B.|It failed.",
        "He met Harry S. Truman.|They talked.",
        "‘J. Smith’ was his name.|He hadn’t.|Wasn't it?|I'd see 'm.|Sure.",
    ]);
}

#[test]
fn numbers_that_head_a_paragraph() {
    check(&[
        "1. The first rule.|It is short.",
        "XIV. Of the river.|It flows.",
        "a. Bread.|And wine.",
        "(iv) Nothing.|Else.",
    ]);
}

#[test]
fn quotes_and_brackets() {
    check(&[
        "“Come here!” said he.|“Why?”|“Because.”",
        "\"Come here!\" said he.|\"Why?\"|\"Because.\"",
        "‘Go.’|‘No.’",
        "He said, “Go.”|Then he left.",
        "(It was late.)|He left.",
        "It was late (very late).|He left.",
        "He called it “art”.|They laughed.",
        "_Never._|That was all.",
        "He said so.[12]|Nobody believed it.",
        "She left.|—He stayed.",
        "Ah!—no, said he.|Never.",
    ]);
}

#[test]
fn ellipses() {
    check(&[
        "I... I do not know.|Ask her.",
        "Well … perhaps.|Or not.",
        "He waited...|Nothing happened.",
        "He waited . . . and waited.|Then he left.",
        "He waited . . .|Nothing happened.",
        "What!!!|No?!|Yes.",
        "What ! !|No.",
        "“... Then he left.|He came back.",
    ]);
}

#[test]
fn who_said_it_belongs_to_what_was_said() {
    check(&[
        "“What?” Emma asked.|She waited.",
        "“What?” asked Emma.|She waited.",
        "\"Stop!\" Mr. Knightley cried.|They stopped.",
        "“Stop!” Miss Bates said, and sat down.|Nobody spoke.",
        "“Is it?” I asked.|“It is.”",
        "“Is it so?” John Knightley Smith replied.|“It is.”",
        "‘Who?’ Harriet whispered.|‘Me.’",
        "“What?”|She looked up.|“Nothing.”",
        "“What?”|Emma looked up.|“Nothing.”",
        "“Why?”|Then Emma asked again.",
        "“Why?”|He asked because he had to.",
        "“Oh!”|“Emma said so.”",
    ]);
}

#[test]
fn more_english() {
    check(&[
        "Prof. Moore and Capt. Weston came on Jan. 5.|It snowed.",
        "He was born on Feb. 29 and died on Aug. 3.|Both were Mondays.",
        "See No. 5, Nos. 6 and Nos. 7 there.|See Eq. 3.|See Ref. 12 and Art. 4.",
        "Gen. Lee met Lt. Col. Grant.|Sgt. Pepper sang.",
        "The ratio is 3.14.|The other is 2.71828.",
        "Version 1.2.3 is out.|Version 1.3 is not.",
        "It rose 0.5 % to $1.25.|It fell 3.5 %.",
        "Go to www.example.org/a.html.|Then come back.",
        "The file is named data.txt.|Open it.",
        "He has a B.A. and an M.D. degree.|He is proud.",
        "He went to Washington, D.C.|He met nobody.",
        "The U.K. and the U.S. signed.|The E.U. did not.",
        "Use fruit, i.e. Apples, or nuts, e.g. Almonds.|Eat.",
        "Apples vs. Oranges is old.|Cf. Smith for more.",
        "Johnson et al. Found nothing.|Others did.",
        "W. E. B. Du Bois wrote it.|J.R.R. Tolkien did not.",
        "John F. Kennedy spoke.|He was young.",
        "Sammy Davis Jr. Sang.|He danced.",
        "Martin Luther King Jr.|He had a dream.",
        "Well... I think so.|Perhaps…|Perhaps not.",
        "“Well… I think so.”|“Do you?”",
        "“Yes.”|(She smiled.)|“No.”",
        "[It was late.]|He left.",
        "{So it is.}|Or not.",
        "He said “I will.”|Then he did.",
        "She said ‘no.’|He wept.",
        "He asked (why?) and left.|Nobody knew.",
        "Is it 5 p.m.?|It is 6 a.m. in Rome.",
        "Wait!|5 men came.|6 left.",
        "What?!|Never!!|OK.",
        "*Yes.*|_No._|Maybe.",
        "«Oui.»|«Non.»|Rien.",
        "No.|No. 3 is mine.|No, sir.",
        "Rev. Elton read Ps. 23 and Ch. XI.|Amen.",
        "Ask Brig. Gen. Howe or Cmdr. Bond.|They know.",
    ]);
}

#[test]
fn text_without_capitals() {
    check(&[
        "it rained.|we stayed at home.|nobody came.",
        "did it rain?|it did!|so we stayed.",
        "mr. knightley met mrs. weston and dr. perry.|they spoke.",
        "they sold apples, pears, etc. to us.|we paid.",
        "she came at 5 p.m. on monday.|late again.",
        "she came at 5 p.m.|it was late.",
        "it is in vol. 3, p. 12.|see fig. 4.|also no. 7, vol. ii.",
        "j. r. smith and h. g. wells met.|they argued.",
        "she is taller than i.|emma is not.",
        "they chose plan b.|it failed.",
        "“come here!” said he.|“why?”|“because.”",
        "“what?” emma asked.|she waited.",
        "“is it so?” mr. john knightley replied.|“it is.”",
        "“what?”|she looked up.|“nothing.”",
        "“why?”|then emma asked again.",
        "“go.” he said so.|nobody heard.",
        "i... i do not know.|ask her.",
        "he waited... waited long.|then he left.",
        "he waited...|nothing happened.",
        "1. the first rule.|it is short.",
        "see example.com for more.|or write.",
        "i met John there.|we ate.|it was OK.",
        "ის წავიდა.|ის მოვიდა.|კარგი",
    ]);
    // One that writes them large, and a small letter behind an abbreviation that no list has.
    check(&[
        "It cost ca. two pounds.|Cheap.",
        "It cost ca. two pounds, or ca. three.|Cheap.",
        "and so it was. hardly.|Then he left.|He came back.|It rained.|So it goes.",
        "Ah! how nice.|Yes! indeed.",
    ]);
}

/// As [`split`] does, but with all of a sentence read anew at every stop.
fn split_reading_again(text: &str) -> Vec<&str> {
    let (mut sentences, mut start, mut position) = (Vec::new(), 0, 0);
    while let Some(offset) = text[position..].find(is_terminator) {
        let mark = position + offset;
        let mut sentence = Begun::at(text, start);
        sentence.read_to(mark);
        position = end_of_marks(&sentence, mark);
        if ends_sentence(&sentence, mark..position, is_lower_case(text)) {
            sentences.push(text[start..position].trim());
            start = position;
        }
    }
    sentences.push(text[start..].trim());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

#[test]
fn time_is_linear_in_the_length_of_a_line() {
    // A second in a build for tests; reading a sentence anew at every stop takes minutes.
    const SECONDS_MAX: u64 = 20;
    let begin = std::time::Instant::now();
    for (part, before) in [
        (". ", ""),
        ("。", ""),
        (". ", "a"),
        ("it rained, and mr. ", "He "),
        ("a. ", "(((((((("),
        (" st. a\"b", "x "),
        ("a! b", ""),
        (" x.", "\u{3000}一"),
        ("a, ... ", "A"),
        ("... i", "a"),
        ("“x?” i said ", "A"),
        ("x.y", ""),
    ] {
        for lead in ["", " ", "(", "1"] {
            let text = format!("{}{before}{}", lead.repeat(100_000), part.repeat(100_000));
            assert!(!split(&text).is_empty());
        }
    }
    let seconds = begin.elapsed().as_secs();
    assert!(seconds < SECONDS_MAX, "{seconds} seconds");
}

proptest! {
    #[test]
    fn what_is_counted_while_reading_is_what_stands_there(
        text in "[a-cA-CI0-3.!?… \"'”“()\\[\\]—。！；你说と「」》）।۔\u{3000}é&-]{0,60}",
    ) {
        prop_assert_eq!(split(&text), split_reading_again(&text));
    }

    #[test]
    fn nothing_but_space_is_lost(text in "[a-cA-CI0-3.!?… \"'”“()\\[\\]—。！；你说と「」》）।؟\u{3000}é&-]{0,60}") {
        let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let sentences = split(&text);
        prop_assert_eq!(squeeze(&sentences.concat()), squeeze(&text));
        for sentence in sentences {
            prop_assert!(!sentence.is_empty());
            prop_assert_eq!(sentence, sentence.trim());
        }
    }

    #[test]
    fn any_text_is_split_without_panic(text in "\\PC{0,80}") {
        split(&text);
    }
}
