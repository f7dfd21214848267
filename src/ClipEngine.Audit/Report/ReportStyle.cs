namespace ClipEngine.Audit.Report;

/// <summary>The page's style sheet: readable on a phone, in print and in forced colours; nothing is loaded from anywhere.</summary>
internal static class ReportStyle
{
    public const string Css = """
        :root{color-scheme:light;--ink:#1b1f24;--muted:#57606a;--line:#d8dee4;--accent:#0a5a9c}
        *{box-sizing:border-box}
        html{-webkit-text-size-adjust:100%}
        body{margin:0;font:16px/1.55 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;color:var(--ink);background:#fff}
        header,main,footer{max-width:62rem;margin:0 auto;padding:0 1rem}
        h1{font-size:1.75rem;line-height:1.2;margin:1.5rem 0 .5rem}
        h2{font-size:1.3rem;margin:2.5rem 0 .75rem;padding-top:.75rem;border-top:2px solid var(--line)}
        h3{font-size:1.08rem;margin:1.5rem 0 .5rem}
        p,ul{max-width:46rem}
        a{color:var(--accent)}
        a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid #e69f00;outline-offset:2px}
        .skip{position:absolute;left:-999rem}
        .skip:focus{left:1rem;top:.5rem;background:#fff;padding:.5rem;z-index:1}
        .question{font-size:1.1rem;color:var(--muted)}
        .note{border-left:5px solid #e69f00;background:#fff8e8;padding:.75rem 1rem;margin:1rem 0;max-width:48rem}
        .note h3{margin:0 0 .25rem}
        .note p{margin:0}
        .finding{border-left:5px solid #0072b2;background:#f2f8fd;padding:.6rem 1rem;margin:.6rem 0;max-width:48rem}
        .finding p{margin:.2rem 0}
        .finding .sure{color:var(--muted);font-size:.92rem}
        .short{border:2px solid var(--ink);border-radius:6px;padding:.25rem 1rem;max-width:48rem}
        .short p{margin:.5rem 0}
        nav ul{columns:2;list-style:none;padding:0}
        nav li{padding:.1rem 0}
        .scroll{overflow-x:auto;max-width:100%;background:linear-gradient(90deg,#fff 1rem,#fff0 3rem) 0/3rem 100% local,linear-gradient(-90deg,#fff 1rem,#fff0 3rem) 100%/3rem 100% local,linear-gradient(90deg,#0004,#0000) 0/.7rem calc(100% - 2px) scroll,linear-gradient(-90deg,#0004,#0000) 100%/.7rem calc(100% - 2px) scroll;background-repeat:no-repeat}
        table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.88rem;margin:.5rem 0}
        caption{text-align:left;font-weight:600;padding:.35rem 0}
        th,td{padding:.3rem .45rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;white-space:nowrap}
        th.w,td.w,th[scope=row]{text-align:left;white-space:normal;min-width:4rem}
        td.h,th.h[scope=row]{overflow-wrap:anywhere;min-width:16rem}
        td.i{white-space:normal}
        td.i span{white-space:nowrap}
        thead th{border-bottom:2px solid var(--ink);white-space:normal;vertical-align:bottom}
        figure{margin:1.25rem 0}
        figure svg{display:block;max-width:none}
        figure svg>rect:first-of-type{fill:transparent}
        figcaption{color:var(--muted);font-size:.92rem;max-width:46rem}
        details{border:1px solid var(--line);border-radius:6px;padding:.4rem .8rem;margin:.6rem 0}
        summary{cursor:pointer;font-weight:500;padding:.25rem 0}
        pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f8fa;padding:.75rem;font-size:.82rem;max-height:30rem;overflow:auto}
        footer{color:var(--muted);font-size:.9rem;padding:2rem 1rem}
        @media (max-width:40rem){body{font-size:15px}h1{font-size:1.4rem}nav ul{columns:1}th,td{padding:.3rem .4rem}}
        @media print{nav,.skip{display:none}details{border:0;padding:0}details:not(.screen)::details-content{content-visibility:visible;display:block;block-size:auto}.scroll{overflow:visible;background:none}figure,tr,.finding,.note{break-inside:avoid}
        table{font-size:.7rem}th,td{white-space:normal;padding:.15rem .3rem}figure svg{max-width:100%;height:auto}pre{max-height:none}}
        """;
}
