//! The program in two languages: which one it speaks, and how. `mistakes` holds that what goes wrong is told in both.

use dv_verify::order::Generation;

use super::context::{Context, Ran};

/// Runs the program with these variables besides.
fn ran(context: &Context, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let output = context.command(arguments).envs(variables.iter().copied()).output().unwrap();
    Ran::of(output)
}

fn is_chinese(text: &str) -> bool {
    text.chars().any(|sign| ('\u{4e00}'..='\u{9fff}').contains(&sign))
}

#[test]
fn the_locale_decides_and_the_option_before_it() {
    let context = Context::new();
    let speaks_chinese = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut all = vec!["--provider", "cloudflair"];
        all.extend_from_slice(arguments);
        let ran = ran(&context, &all, variables).expect(2).says("`cloudflare`").says("dv-verify providers list");
        let chinese = is_chinese(&ran.stderr);
        assert_eq!(ran.stderr.contains("错误:"), chinese, "{}", ran.stderr);
        assert_eq!(ran.stderr.contains("did you mean"), !chinese, "{}", ran.stderr);
        chinese
    };
    assert!(!speaks_chinese(&[], &[]));
    assert!(!speaks_chinese(&[], &[("LANG", "C.UTF-8")]));
    assert!(speaks_chinese(&[], &[("LANG", "zh_CN.UTF-8")]));
    assert!(!speaks_chinese(&[], &[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "en_US.UTF-8")]));
    assert!(speaks_chinese(&[], &[("LANG", "en_US.UTF-8"), ("DV_LANG", "zh")]));
    assert!(!speaks_chinese(&["--lang", "en"], &[("LANG", "zh_CN.UTF-8"), ("DV_LANG", "zh")]));
    assert!(speaks_chinese(&["--lang=zh"], &[("DV_LANG", "en")]));
    let config = context.home().join("config.toml");
    std::fs::write(&config, "lang = \"zh\"\n").unwrap();
    assert!(speaks_chinese(&["--config", config.to_str().unwrap()], &[]));
    assert!(!speaks_chinese(&["--config", config.to_str().unwrap()], &[("DV_LANG", "en")]));
}

#[test]
fn what_is_no_language_is_refused() {
    let context = Context::new();
    ran(&context, &["orders", "--lang", "fr"], &[]).expect(2).says("zh, en");
    ran(&context, &["orders", "--lang", "fr"], &[("LANG", "zh_CN.UTF-8")]).expect(2).says("可选：zh, en");
    let told = ran(&context, &["orders", "--nosuch"], &[("LANG", "zh_CN.UTF-8")]).expect(2).says("这里没有参数 `--nosuch`");
    assert!(told.stderr.contains("用法:") && !told.stderr.contains("Usage"), "{}", told.stderr);
    ran(&context, &["orders"], &[("DV_LANG", "fr")]).expect(2).says("variable `DV_LANG`: `fr` is none of `zh`, `en`");
    ran(&context, &["orders"], &[("DV_LANG", "fr"), ("LANG", "zh_CN")])
        .expect(2)
        .says("变量 `DV_LANG`：`fr` 不是 `zh`，`en` 之一");
}

#[test]
fn a_whole_journey_is_told_in_chinese_and_its_events_keep_their_words() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let told = ran(&context, &["--provider", "cloudflare", "--order", id.as_str()], &[("LANG", "zh_CN.UTF-8")]).expect(0);
    for words in ["已写入 DNS 服务商 cloudflare，区域 example.com", "上可见，用时", "证书：www.example.com，有效期至", "完成"]
    {
        assert!(told.stderr.contains(words), "`{words}` is not in\n{}", told.stderr);
    }
    let words = |locale: &str| {
        let context = Context::new();
        let id = context.order(Generation::Instance, &["www.example.com"]);
        ran(&context, &["--provider", "cloudflare", "--order", id.as_str(), "--output", "json"], &[("LANG", locale)])
            .expect(0)
            .event_words()
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(words("zh_CN.UTF-8"), words("C"));
}

/// How many columns of a terminal a text takes: two for each Chinese character and full-width sign.
fn width(text: &str) -> usize {
    text.chars().map(|sign| if sign >= '\u{2e80}' { 2 } else { 1 }).sum()
}

#[test]
fn columns_stay_aligned_in_chinese() {
    let context = Context::new();
    context.order(Generation::Instance, &["www.example.com"]);
    context.order(Generation::Api2018, &["a-much-longer-name.example.net"]);
    let told = ran(&context, &["orders"], &[("LANG", "zh_CN.UTF-8")]).expect(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    let column = |word: &str| {
        let line = lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word} in {}", told.stdout));
        width(&line[..line.find(word).unwrap()])
    };
    for (heading, cells) in [("API", ["instance", "2018"]), ("状态", ["pending", "CHECKING"])] {
        for cell in cells {
            assert_eq!(column(heading), column(cell), "{heading} and {cell} in\n{}", told.stdout);
        }
    }
    assert_eq!(column("验证信息"), column("TXT _dns"), "{}", told.stdout);
}

#[test]
fn help_is_in_chinese_and_its_examples_are_the_same() {
    let context = Context::new();
    let help = |locale: &str| ran(&context, &["--help"], &[("LANG", locale)]).expect(0).stdout;
    let (english, chinese) = (help("C"), help("zh_CN.UTF-8"));
    assert!(english.contains("Usage: dv-verify") && !is_chinese(&english), "{english}");
    assert!(chinese.contains("用法: dv-verify") && chinese.contains("退出码："), "{chinese}");
    for word in ["Usage", "Options:", "Commands:", "default:", "possible values"] {
        assert!(!chinese.contains(word), "{word} in {chinese}");
    }
    let options = |text: &str| text.lines().filter(|line| line.trim_start().starts_with('-')).count();
    assert_eq!(options(&english), options(&chinese));
}
