namespace ClipEngine.Audit.Results;

/// <summary>What one model's bias came to, in the forms that "CLIP the Bias" (2403.04547) and a later study of the same group name, with what it is weighed against.</summary>
/// <param name="Model">The model's key.</param>
/// <param name="Representation">Which of two words it prefers for images of nobody in particular; null where the spec does not ask.</param>
/// <param name="Association">Which word of a pair it prefers, by the probe's groups and by each single attribute; empty where the spec does not ask.</param>
/// <param name="Rankings">Whom sentences find first; empty where the spec does not ask.</param>
/// <param name="Accuracy">Zero-shot accuracy; null where the spec does not ask.</param>
/// <param name="Retrieval">Image-text retrieval; null where the spec does not ask.</param>
public sealed record ModelBias(string Model, PairPreference? Representation, IReadOnlyList<AssociationBias> Association, IReadOnlyList<RankingSkew> Rankings, QualityResult? Accuracy, QualityResult? Retrieval);

/// <summary>How often the first of two words is preferred: its cosine with an image is the larger one. Equal ones count one half.</summary>
/// <param name="First">The word that is counted.</param>
/// <param name="Second">The word that it is held against.</param>
/// <param name="FirstPrompt">The sentence that was encoded for the first.</param>
/// <param name="SecondPrompt">The same for the second.</param>
/// <param name="Preferred">The share of images for which the first is preferred.</param>
/// <param name="MeanProbability">The mean probability of the first in the softmax over the two.</param>
public sealed record PairPreference(string First, string Second, string FirstPrompt, string SecondPrompt, GroupMetricFrame Preferred, GroupMetricFrame MeanProbability);

/// <summary>Preferences within pairs of words by the groups of one attribute or combination of attributes.</summary>
/// <param name="Attribute">What the groups are made of.</param>
/// <param name="Pairs">A frame for each pair.</param>
/// <param name="Summaries">Two groups over all pairs; for every two groups.</param>
/// <param name="Overall">The same over every two groups at once; null where there is one group.</param>
public sealed record AssociationBias(string Attribute, IReadOnlyList<PairPreference> Pairs, IReadOnlyList<AssociationSummary> Summaries, AssociationSummary? Overall);

/// <summary>
/// Two groups over all pairs of words. A pair's gap is the first group's share of preference minus the second's; which word of a pair comes first does
/// not matter to its size. That preferences within pairs are compared by group is sourced (a later study on pre-training with 100 billion examples, which refers to 2403.04547); both summaries are a reconstruction.
/// </summary>
/// <param name="FirstGroup">A group; over every two groups: the one that has the largest gap.</param>
/// <param name="SecondGroup">Another; over every two groups: the one that it has it with.</param>
/// <param name="MeanGap">The mean over pairs of the gap's size, with the mean of simultaneous intervals.</param>
/// <param name="LargestGap">The largest size of a gap, with the envelope of simultaneous intervals.</param>
/// <param name="LargestPair">The pair that has it.</param>
public sealed record AssociationSummary(string FirstGroup, string SecondGroup, Estimate MeanGap, Estimate LargestGap, string LargestPair);

/// <summary>
/// Skew of the images that a sentence finds first (Geyik, Ambler and Kenthapadi, 1905.01989): MaxSkew@k = max_g ln(share of g among the first k / share of g among all),
/// and NDKL = (1/Z) Σ_{i≤k} D_KL(shares among the first i ‖ shares among all) / log₂(i + 1), Z = Σ_{i≤k} 1 / log₂(i + 1).
/// </summary>
/// <param name="Attribute">What groups are made of.</param>
/// <param name="Sentence">The sentence; empty: the mean over all sentences.</param>
/// <param name="Top">k.</param>
/// <param name="MaxSkew">MaxSkew@k.</param>
/// <param name="Group">The group that has it; empty in the mean.</param>
/// <param name="MaxSkewChance">Its mean if persons' groups were dealt out at random: what a ranking without skew has too.</param>
/// <param name="MaxSkewP">The share of such deals with as large a value, the one seen among them.</param>
/// <param name="Ndkl">NDKL over the first k.</param>
/// <param name="NdklChance">Its mean by chance.</param>
/// <param name="NdklP">Its p-value.</param>
public sealed record RankingSkew(
    string Attribute, string Sentence, int Top, double MaxSkew, string Group, double? MaxSkewChance, double? MaxSkewP, double Ndkl, double? NdklChance, double? NdklP);
