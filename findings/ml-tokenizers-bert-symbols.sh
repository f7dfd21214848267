#!/usr/bin/env bash
# Microsoft.ML.Tokenizers' BertTokenizer drops $ + < = > ^ ` | ~ and every other symbol without a trace, and a line break joins the words beside it.
#
# Package: NuGet's Microsoft.ML.Tokenizers 2.0.1, BertTokenizer.Create(vocabulary file), its options as they are.
# The original BERT tokenizer makes a token of its own of every mark and symbol of ASCII, gives [UNK] for what the vocabulary lacks, and turns tabs
# and line breaks into spaces. This one splits by a pattern of letters, digits and punctuation, and symbols (Unicode's categories S) match neither:
# they are skipped, though the vocabulary has them. Tabs and line breaks are taken away as control characters before words are split.
#
# Seen on 2026-11-28, the vocabulary holding all these words and symbols:
#   "cost $5" -> cost 5      "a<a" -> a a      "a + a = a" -> a a a      "5°" -> 5      "★★★" -> nothing      "a%a" -> a % a
#   "cat dog" -> cat dog     "cat\ndog" -> catdog      "cat\tdog" -> catdog
#
# Prices, comparisons, code and degrees in captions, and captions of several lines, get ids that the text tower never saw in training; two different sentences
# can get the same ids. Replace control characters by spaces before, and where symbols matter take another tokenizer.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >symbols.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Microsoft.ML.Tokenizers" Version="[2.0.1]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System.Reflection;
using Microsoft.ML.Tokenizers;

Console.WriteLine("Microsoft.ML.Tokenizers " +
    typeof(BertTokenizer).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0]);
const string Symbols = "$+<=>^`|~°★";
string[] vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", "catdog", "cost", "a", "5", "%", .. Symbols.Select(symbol => symbol.ToString())];
File.WriteAllLines("vocabulary.txt", vocabulary);
BertTokenizer tokenizer = BertTokenizer.Create("vocabulary.txt");
bool asDescribed = true;
foreach ((string text, string expected) in new[]
{
    ("cost $5", "cost 5"), ("a<a", "a a"), ("a + a = a", "a a a"), ("5°", "5"), ("★★★", string.Empty), ("a%a", "a % a"),
    ("cat dog", "cat dog"), ("cat\ndog", "catdog"), ("cat\r\ndog", "catdog"), ("cat\tdog", "catdog"),
})
{
    string tokens = Tokens(text);
    Console.WriteLine($"\"{text.Replace("\r", "\\r").Replace("\n", "\\n").Replace("\t", "\\t")}\" -> {tokens}");
    asDescribed &= tokens == expected;
}

string dropped = string.Concat(Symbols.Where(symbol => Tokens($"a {symbol} a") == "a a"));
Console.WriteLine($"dropped: {dropped}");
asDescribed &= dropped == Symbols;
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;

string Tokens(string text) => string.Join(' ', tokenizer.EncodeToIds(text, addSpecialTokens: false).Select(id => vocabulary[id]));
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "Microsoft.ML.Tokenizers 2.0.1 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/symbols.dll
