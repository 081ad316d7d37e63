//! The program in two languages: which one it speaks, and that mistakes are told in both, with the same exit code.

use dv_verify::{
    order::Generation,
    sandbox::{Answer, Fault, OrderChange, Service},
};

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

/// A mistake: how it comes about, the arguments, the exit code, and words of both messages.
struct Mistake {
    fault: Option<Fault>,
    arguments: &'static [&'static str],
    code: i32,
    english: &'static [&'static str],
    chinese: &'static [&'static str],
}

fn error(status: u16, code: &str, message: &str) -> Fault {
    let answer = Answer::Error { status, code: code.into(), message: message.into() };
    Fault::Calls { service: Service::Cas, action: None, times: None, answer }
}

#[test]
fn bad_input_is_told_in_both_languages() {
    let mistakes = [
        Mistake {
            fault: None,
            arguments: &["--provider", "cloudflare", "--order", "cas-cn-nosuchorder"],
            code: 2,
            english: &["order `cas-cn-nosuchorder` is unknown", "check the id with `dv-verify orders`", "--region"],
            chinese: &["没有订单 `cas-cn-nosuchorder`", "请用 `dv-verify orders` 核对 ID", "--region"],
        },
        Mistake {
            fault: None,
            arguments: &["--provider", "cloudflare", "--order", "12345", "--api", "instance"],
            code: 2,
            english: &["`12345` is an OrderId, which `--api instance` does not know", "use `--api order`"],
            chinese: &["`12345` 是 OrderId，`--api instance` 不认识它", "请使用 `--api order`"],
        },
        Mistake {
            fault: Some(error(403, "Forbidden.RAM", "User not authorized to operate on the specified resource.")),
            arguments: &["orders", "--api", "instance"],
            code: 3,
            english: &["allow the RAM user or role the action `yundun-cert:", "\"Effect\""],
            chinese: &["请允许该 RAM 用户或角色执行操作 `yundun-cert:", "\"Effect\""],
        },
        Mistake {
            fault: Some(error(403, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")),
            arguments: &["orders", "--api", "instance"],
            code: 3,
            english: &["the temporary credentials are over"],
            chinese: &["临时凭证已过期"],
        },
        Mistake {
            fault: Some(Fault::ClockSkew { seconds: 3600 }),
            arguments: &["orders", "--api", "instance"],
            code: 2,
            english: &["set this machine's clock: it is", "behind the server's"],
            chinese: &["请校准本机时钟：它比服务器慢"],
        },
        Mistake {
            fault: Some(error(404, "InvalidVersion", "Specified parameter Version is not valid.")),
            arguments: &["orders", "--api", "instance"],
            code: 1,
            english: &["is not served there; use another `--api`"],
            chinese: &["请改用其他 `--api`"],
        },
        Mistake {
            fault: Some(Fault::Package { product: "symantec-dv-1-starter".into(), left: 0 }),
            arguments: &["apply", "--provider", "cloudflare", "--product", "symantec-dv-1-starter", "www.example.com"],
            code: 6,
            english: &["the package of this product is used up"],
            chinese: &["此产品的资源包已用完"],
        },
    ];
    for Mistake { fault, arguments, code, english, chinese } in mistakes {
        let context = Context::new();
        context.order(Generation::Instance, &["other.example.com"]);
        if let Some(fault) = fault {
            context.sandbox.fault(fault).unwrap();
        }
        let applicant =
            [("DV_APPLICANT_NAME", "Zhang San"), ("DV_APPLICANT_EMAIL", "zs@example.com"), ("DV_APPLICANT_PHONE", "13800000000")];
        for (locale, words) in [("en_US.UTF-8", english), ("zh_CN.UTF-8", chinese)] {
            let mut variables = applicant.to_vec();
            variables.push(("LANG", locale));
            let told = ran(&context, arguments, &variables).expect(code);
            for word in words {
                assert!(told.stderr.contains(word), "`{word}` is not in\n{}", told.stderr);
            }
        }
        assert_eq!(context.writes(), 0, "nothing was written");
    }
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

#[test]
fn a_refused_order_says_so_in_chinese() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    ran(&context, &["--provider", "cloudflare", "--order", id.as_str(), "--no-wait"], &[]).expect(0);
    context.change(&id, OrderChange::Reject);
    ran(&context, &["--provider", "cloudflare", "--order", id.as_str()], &[("LANG", "zh_CN.UTF-8")])
        .expect(6)
        .says("CA 拒绝了订单");
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
